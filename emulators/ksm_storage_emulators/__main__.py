"""Run the command line as `python -m ksm_storage_emulators`."""

from ksm_storage_emulators.cli import main

if __name__ == "__main__":
    main(prog_name="ksm-storage-emulators")
