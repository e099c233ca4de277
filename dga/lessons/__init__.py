"""What teaching needs: figures, explorers, feedback for assignments."""
