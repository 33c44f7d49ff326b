# Makes the project's virtual environment and leaves its Python in $python. Sourced by the scripts beside it, from
# the project's root: `. scripts/environment.sh && ensure_environment sdk test`. Arguments are groups of
# pyproject.toml's [dependency-groups]. Nothing is installed again until pyproject.toml changes.

python=.venv/bin/python

say() {
    printf '%s\n' "$*" >&2
}

# A Python that is new enough: $PYTHON if set, else the first that fits.
find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

make_environment() {
    rm -rf .venv
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "${PYTHON:->=3.11}" .venv
        return
    fi
    if ! found=$(find_python); then
        say "Python 3.11 or newer is needed. Install it, name one with PYTHON=..., or install uv (https://docs.astral.sh/uv)."
        return 1
    fi
    say "Making .venv with $("$found" --version)."
    if ! "$found" -m venv .venv; then
        rm -rf .venv
        say "This Python cannot make virtual environments. On Debian and Ubuntu the package python3-venv is missing."
        return 1
    fi
    # Groups of dependencies are known to pip since 25.1, which is newer than what most systems bring.
    "$python" -m pip install --quiet --upgrade 'pip>=25.1'
}

install_groups() {
    groups=
    for group in "$@"; do
        groups="$groups --group $group"
    done
    # $groups is meant to fall apart into words.
    # shellcheck disable=SC2086
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$python" --editable . $groups
    else
        "$python" -m pip install --quiet --editable . $groups
    fi
}

ensure_environment() {
    if ! "$python" -c '' 2>/dev/null; then
        make_environment || return 1
    fi
    # A moved clone has an environment that points at its old place.
    wanted="$(cksum <pyproject.toml) $(pwd)"
    missing=
    for group in "$@"; do
        if [ "$(cat ".venv/.installed-$group" 2>/dev/null)" != "$wanted" ]; then
            missing=yes
        fi
    done
    if [ -z "$missing" ]; then
        return 0
    fi
    say "Installing Cachestead and what it needs into .venv ($*)."
    install_groups "$@" || return 1
    for group in "$@"; do
        printf '%s\n' "$wanted" >".venv/.installed-$group"
    done
}
