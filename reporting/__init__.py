"""Tables, figures and pages of finished runs, from their results.json files; needs neither PyTorch nor Dassl."""
