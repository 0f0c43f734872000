"""The app: `python app.py`, the same as `attention-studio app`."""

if __name__ == "__main__":  # a worker's process imports this file too, and needs none of it
    from attention_studio.app.main import main

    main()
