# Sourced by scripts/serve and scripts/test: makes .venv what the pinned requirements say.
#
# A stamp in .venv names what it was made from: Python, folder and the requirements' hash. It is
# taken away before anything changes and written last, so an environment without a fitting stamp
# (interrupted, moved, outdated) is made anew, and one with it costs a single short Python run.

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }

# python_ok PYTHON: runs, and is new enough. (A pyenv shim exists for versions that are not active.)
python_ok() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# find_python: prints python3, or else the newest python3.x, that is at least 3.11 and makes venvs.
find_python() {
    local candidate without_venv=
    for candidate in python3 $(compgen -c python3. | grep -E '^python3\.[0-9]+$' | sort -Vru); do
        python_ok "$candidate" || continue
        if "$candidate" -I -c 'import ensurepip, venv' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    if [[ -z $without_venv ]]; then
        say "job-ledger needs Python 3.11 or newer; no such python3 or python3.x is on the PATH."
    else
        local package
        package=$("$without_venv" -I -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
        say "$without_venv cannot make virtual environments: venv or ensurepip is missing" \
            "(on Debian and Ubuntu: apt-get install $package)."
    fi
    return 1
}

# stamp_of FILE...: what an environment made from these files, here, by its Python, is called.
stamp_of() {
    "$venv/bin/python" -I - "$root" "$@" <<'PYTHON'
import hashlib, pathlib, sys
root, *names = sys.argv[1:]
names.append("scripts/environment.sh")
content = b"".join(pathlib.Path(root, name).read_bytes() for name in names)
print("%d.%d" % sys.version_info[:2], hashlib.sha256(content).hexdigest(), sys.prefix)
PYTHON
}

runtime_ready() { stamped runtime requirements.txt; }
test_ready() { stamped test requirements.txt requirements-test.txt; }

stamped() {
    local stamp=$venv/.stamp-$1
    shift
    [[ -f $stamp && -x $venv/bin/python ]] && [[ $(<"$stamp") == "$(stamp_of "$@" 2>/dev/null)" ]]
}

# The project itself is put on the path as it lies there: no build, and edits count at once.
write_launcher() {
    local site
    site=$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return
    printf '%s\n' "$root" >"$site/job-ledger.pth" || return
    # sh runs the second line, Python reads it as a string: no limit on the length of the path, and
    # spaces are allowed in it.
    cat >"$venv/bin/job-ledger" <<LAUNCHER || return
#!/bin/sh
'''exec' "$venv/bin/python" -P "\$0" "\$@"
' '''
import sys

from api.cli import main

sys.exit(main())
LAUNCHER
    chmod +x "$venv/bin/job-ledger"
}

# make_environment runtime|test: called with the lock held.
make_environment() {
    local wanted=$1 requirements=requirements.txt python started=$SECONDS
    "${wanted}_ready" && return
    [[ $wanted == test ]] && requirements=requirements-test.txt
    if [[ $wanted == test ]] && runtime_ready; then
        say "Adding $requirements to .venv ..."
        rm -f "$venv"/.stamp-*
    else
        python=$(find_python) || return
        say "Making .venv from $requirements with $("$python" -V) ..."
        rm -f "$venv"/.stamp-*
        "$python" -m venv --clear "$venv" || return
    fi
    "$venv/bin/python" -m pip install --quiet --quiet --no-input --disable-pip-version-check \
        --require-hashes -r "$root/$requirements" || {
        say "Could not install $requirements; what pip says is above. The next run starts afresh."
        return 1
    }
    write_launcher || return
    # The test requirements hold the runtime ones, at the same versions.
    if [[ $wanted == test ]]; then
        stamp_of requirements.txt requirements-test.txt >"$venv/.stamp-test" || return
    fi
    stamp_of requirements.txt >"$venv/.stamp-runtime" || return
    say "Made .venv in $((SECONDS - started)) s."
}

# prepare_environment runtime|test
prepare_environment() {
    "${1}_ready" && return
    (
        if command -v flock >/dev/null; then
            flock --nonblock 9 || {
                say "Waiting for another run that makes .venv ..."
                flock 9
            }
        fi
        make_environment "$1"
    ) 9>"$root/.environment.lock"
}
