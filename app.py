"""The app: `python app.py`, the same as `attention-studio app`."""

from attention_studio.app.main import main

if __name__ == "__main__":
    main()
