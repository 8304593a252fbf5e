"""Users: their equilibrium, the linear algebra and derivatives behind it, and its independent certificate."""
