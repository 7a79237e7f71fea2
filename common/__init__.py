"""What every floor may use: errors, files, paths, texts, and the catalogue of methods. Standard library only."""
