# Sourced by scripts/serve, scripts/check and scripts/test: makes .venv from pinned requirements.
#
# A stamp in .venv records what it was made from (Python, folder, the requirements' hash) and its
# contents. It is removed before anything changes and written last, so an environment without a
# matching stamp (interrupted, moved, outdated, changed by another tool) is made again; one with a
# matching stamp costs a single short Python run.

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
venv=$root/.venv
# The installers are here while they run; they are not part of the environment.
tools=$venv/.tools

say() { printf '%s\n' "$*" >&2; }

# step NAME COMMAND...: names the check that begins, and exits with its code if it fails.
step() {
    printf '== %s\n' "$1"
    shift
    "$@" || exit
}

# python_ok PYTHON: it runs and is new enough. (pyenv has shims for versions that are not active.)
python_ok() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

uv_on_path() { uv --version >/dev/null 2>&1; }

# find_python: prints python3, or else the newest python3.x, that is 3.11 or newer and makes venvs.
find_python() {
    local candidate without_venv='' needed='venv, ensurepip'
    # pip comes with ensurepip; uv makes pip unnecessary.
    uv_on_path && needed=venv
    for candidate in python3 $(compgen -c python3. | grep -E '^python3\.[0-9]+$' | sort -Vru); do
        python_ok "$candidate" || continue
        if "$candidate" -I -c "import $needed" >/dev/null 2>&1; then
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

# stamp_of runtime|test: a digest of the contents of .venv, then what it would be made from now.
#
# The digest covers the name, size and modification time of every file, so it notices each package
# that was added, removed, replaced or edited, in about ten milliseconds. It misses a file that was
# replaced by one of the same size and time, which takes intent. It omits bytecode, which running
# writes, and top-level names that begin with a dot, such as the stamps.
stamp_of() {
    local files=(requirements.txt)
    [[ $1 == test ]] && files+=(requirements-test.txt)
    "$venv/bin/python" -I - "$root" "${files[@]}" scripts/environment.sh <<'PYTHON'
import hashlib, os, pathlib, sys

root, *names = sys.argv[1:]
content = b"".join(pathlib.Path(root, name).read_bytes() for name in names)

installed = hashlib.sha256()
for folder, folders, files, descriptor in os.fwalk(os.fsencode(sys.prefix)):
    if folder == os.fsencode(sys.prefix):
        files = [name for name in files if not name.startswith(b".")]
        folders[:] = [name for name in folders if not name.startswith(b".")]
    folders[:] = sorted(name for name in folders if name != b"__pycache__")
    for name in sorted(files):
        is_now = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        installed.update(b"%b/%b\0%d %d\0" % (folder, name, is_now.st_size, is_now.st_mtime_ns))

made_from = "%d.%d" % sys.version_info[:2], hashlib.sha256(content).hexdigest(), sys.prefix
print(installed.hexdigest(), *made_from)
PYTHON
}

# ready runtime|test: .venv is up to date. Sets `changed` if only its contents differ.
ready() {
    local stamp=$venv/.stamp-$1 made now
    changed=''
    [[ -f $stamp && -x $venv/bin/python ]] || return
    made=$(<"$stamp")
    now=$(stamp_of "$1" 2>/dev/null) || return
    [[ $made == "$now" ]] && return
    [[ ${made#* } == "${now#* }" ]] && changed=yes
    return 1
}

# The checkout itself is put on the path: no build, and edits take effect at once.
write_launcher() {
    local site
    site=$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return
    printf '%s\n' "$root" >"$site/job-ledger.pth" || return
    # sh runs the second line, Python reads it as a string: the path may be long and have spaces.
    cat >"$venv/bin/job-ledger" <<LAUNCHER || return
#!/bin/sh
'''exec' "$venv/bin/python" -P "\$0" "\$@"
' '''
import sys

from api.launcher import main

sys.exit(main())
LAUNCHER
    chmod +x "$venv/bin/job-ledger"
}

# run_pip ARGUMENT...: the pip that comes with Python, from its wheel. Unpacking that takes 0.2 s,
# a virtual environment with pip in it 4 s.
run_pip() {
    [[ -d $tools/pip ]] || "$venv/bin/python" -I - "$tools" <<'PYTHON' || return
import ensurepip, pathlib, sys, sysconfig, zipfile

# Debian keeps wheels in a folder of its own.
folders = [pathlib.Path(ensurepip.__file__).with_name("_bundled")]
if shared := sysconfig.get_config_var("WHEEL_PKG_DIR"):
    folders.insert(0, pathlib.Path(shared))
wheel = next(wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl")))
zipfile.ZipFile(wheel).extractall(sys.argv[1])
PYTHON
    "$venv/bin/python" -I "$tools/pip" --no-input --disable-pip-version-check "$@"
}

# settings_for_uv: prints pip's configuration as VARIABLE=VALUE for uv, which does not read it:
# where packages come from, and how to reach the network.
settings_for_uv() {
    PIP_SAYS=$({ python3 -P -m pip config list || run_pip config list; } 2>/dev/null) \
        "$venv/bin/python" -I - <<'PYTHON'
import ast, os

pip = {}
lines = [line.partition("=") for line in os.environ["PIP_SAYS"].splitlines() if "=" in line]
for section in "global.", "install.", ":env:.":  # later sections win
    for name, _, value in lines:
        if name.startswith(section):
            pip[name.removeprefix(section)] = ast.literal_eval(value).split()

sources = {
    "UV_DEFAULT_INDEX": " ".join(pip.get("index-url", [])),
    "UV_INDEX": " ".join(pip.get("extra-index-url", [])),
    "UV_FIND_LINKS": ",".join(pip.get("find-links", [])),
    "UV_NO_INDEX": "".join(word for word in pip.get("no-index", []) if word in ("1", "true")),
    # pip takes a version from any index that has it; so may uv, as hashes identify it.
    "UV_INDEX_STRATEGY": "unsafe-best-match",
}
network = {
    "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", [])),
    "UV_HTTP_TIMEOUT": " ".join(pip.get("timeout", pip.get("default-timeout", []))),
    "SSL_CERT_FILE": " ".join(pip.get("cert", [])),
    "ALL_PROXY": " ".join(pip.get("proxy", [])),
}
# A source configured for uv itself wins.
own = {*sources, "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE"}
settings = network if own & os.environ.keys() else sources | network
for name, value in settings.items():
    if value and name not in os.environ:
        print(f"{name}={value}")
PYTHON
}

# find_uv: sets `uv` to the machine's, or to the pinned one, installed for this run only. If there
# is none, `why` has the reason.
find_uv() {
    uv=uv
    uv_on_path && return
    uv=$tools/uv/bin/uv
    why=$(run_pip install --quiet --quiet --retries 1 --target "$tools/uv" --no-deps --no-compile \
        --only-binary :all: --require-hashes -r "$root/scripts/requirements-uv.txt" 2>&1) || return
    why=$("$uv" --version 2>&1)
}

# install_by_uv FILE: runs in a subshell, to keep its environment apart.
install_by_uv() (
    while IFS= read -r setting; do
        export "${setting?}"
    done < <(settings_for_uv)
    cache=$("$uv" cache dir 2>/dev/null)
    { mkdir -p -- "$cache" 2>/dev/null && [[ -w $cache ]]; } || export UV_NO_CACHE=1
    # Copy files: editing a file linked to uv's cache would change later installations. Compile
    # bytecode: otherwise the service's first start compiles for a second, and so does every start
    # that cannot write. UV_NO_INDEX is not a variable of uv's.
    "$uv" pip install --quiet --project "$root" --python "$venv/bin/python" --link-mode copy \
        --compile-bytecode ${UV_NO_INDEX:+--no-index} --require-hashes -r "$root/$1"
)

# install_requirements FILE
install_requirements() {
    local uv why
    rm -rf -- "$tools"
    if find_uv; then
        why=$(install_by_uv "$1" 2>&1) && return
        if ! "$python" -I -c 'import ensurepip' 2>/dev/null; then
            say "$why"
            return 1
        fi
        # uv may leave half a package, which pip takes for a whole one.
        make_venv || return
    fi
    say "No uv here (${why%%$'\n'*}): installing $1 with pip, which takes longer ..."
    run_pip install --quiet --quiet --require-hashes -r "$root/$1"
}

make_venv() { "$python" -m venv --without-pip --clear "$venv"; }

# make_environment runtime|test: the caller holds the lock.
make_environment() {
    local wanted=$1 requirements=requirements.txt changed python started=$SECONDS
    ready "$wanted" && return
    [[ $wanted == test ]] && requirements="requirements-test.txt"
    python=$(find_python) || return
    # Add only to an environment without test requirements: others would leave packages behind.
    if [[ $wanted == test && ! -e $venv/.stamp-test ]] && ready runtime; then
        say "Adding $requirements to .venv ..."
        rm -f "$venv"/.stamp-*
    else
        [[ -n $changed ]] && say "Something else changed the contents of .venv."
        say "Making .venv from $requirements with $("$python" -V) ..."
        rm -f "$venv"/.stamp-*
        make_venv || return
    fi
    install_requirements "$requirements" || {
        say "Could not install $requirements; the errors are above. The next run starts again."
        return 1
    }
    rm -rf -- "$tools"
    write_launcher || return
    # The test requirements include the runtime ones, at the same versions.
    if [[ $wanted == test ]]; then
        stamp_of test >"$venv/.stamp-test" || return
    fi
    stamp_of runtime >"$venv/.stamp-runtime" || return
    say "Made .venv in $((SECONDS - started)) s."
}

# prepare_environment runtime|test
prepare_environment() {
    local changed
    ready "$1" && return
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
