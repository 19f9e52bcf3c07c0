"""What leaves a run: vectors of a text (`embed`), encoders for other libraries (`export`, `hub_upload`), and cards."""
