import pkgutil

from localmin import reduction


def test_no_file_hides_a_public_name() -> None:
    files = {module.name for module in pkgutil.iter_modules(reduction.__path__)}
    assert not files & set(reduction.__all__)
