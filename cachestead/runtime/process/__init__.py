from cachestead.runtime.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
