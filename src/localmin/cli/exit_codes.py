"""What a command tells the shell beside success, which is 0."""

__all__ = ["BAD_INPUT", "INTERRUPTED", "NO"]

#: The command did its work and the answer is no: a saddle, a different function, a claim that fails.
NO = 1
#: Something the user can mend.
BAD_INPUT = 2
#: Stopped by the user; repeating the command goes on.
INTERRUPTED = 130
