"""What Streamlit runs for each visitor, again and again: the app with the launcher's settings."""

__all__: list[str] = []

if __name__ == "__main__":  # a worker's process imports this file too, and needs none of it
    from attention_studio.app.main import main

    main()
