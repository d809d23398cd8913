"""The target model M: what it writes itself."""
