/* Calls a script by Python's and NumPy's C interfaces in the way in which RTAB-Map's PyDescriptor does it. */
#define NPY_NO_DEPRECATED_API NPY_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>

/* Returns the length of the descriptor, or a negative number for the step that failed. */
int describe(const char *name, int dimension, char *bytes, int rows, int columns, int channels, float *found, int most)
{
    if (PyArray_ImportNumPyAPI() < 0)
        return -1;
    PyObject *module = PyImport_ImportModule(name);
    if (!module)
        return -2;
    PyObject *init = PyObject_GetAttrString(module, "init");
    PyObject *result = init ? PyObject_CallFunction(init, "i", dimension) : NULL;
    if (!result)
        return -3;
    PyObject *extract = PyObject_GetAttrString(module, "extract");
    npy_intp shape[3] = {rows, columns, channels};
    PyObject *image = PyArray_SimpleNewFromData(3, shape, NPY_BYTE, bytes);
    PyObject *answer = image ? PyObject_CallFunctionObjArgs(extract, image, NULL) : NULL;
    if (!answer)
        return -4;
    PyArrayObject *array = (PyArrayObject *)answer;
    if (PyArray_SHAPE(array)[0] != 1 || PyArray_TYPE(array) != NPY_FLOAT)
        return -5;
    int length = (int)PyArray_SHAPE(array)[1];
    memcpy(found, PyArray_DATA(array), sizeof(float) * (length < most ? length : most));
    Py_DECREF(answer);
    Py_DECREF(image);
    return length;
}
