"""What all trained estimators share: Lightning runs, histories, seeds, networks."""
