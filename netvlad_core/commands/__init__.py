"""The subcommands of `netvlad`, one file each: SUMMARY, EXAMPLE, `add_arguments` and `run`."""
