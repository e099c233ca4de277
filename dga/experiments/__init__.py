"""What long runs need: evaluation of a folder of pictures, benchmark, processes."""
