"""What a run is on disk: configuration, folder, results, progress, logging. Importing this is cheap."""
