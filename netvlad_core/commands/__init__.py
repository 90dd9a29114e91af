"""The subcommands of `netvlad`, one file each; `netvlad_core.cli` says what such a file holds."""
