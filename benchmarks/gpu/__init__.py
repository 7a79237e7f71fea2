"""SoftCPT on a GPU: are its numbers those of the CPU, and how fast is it? See `benchmarks.gpu.__main__`."""
