"""The calls of LMDB in progress, which forks wait for."""

from backendkit.stores import NativeCalls

calls = NativeCalls()
