"""The figures of each chapter of the guide: numbers, alternative texts and drawings together."""
