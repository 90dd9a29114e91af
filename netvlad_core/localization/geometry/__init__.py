"""Compare an image with places by local features: is it the same scene, and from where was it taken?"""
