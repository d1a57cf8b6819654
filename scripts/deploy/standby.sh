#!/bin/sh
# Makes a standby of a running primary, which goes on meanwhile; to be started with pg_ctl.
#
#     standby.sh DATA NAME URL
#
# DATA is a directory that is not there yet, NAME what synchronous_standby_names calls the standby,
# URL the primary, as somebody who may replicate. Runs as the user that PostgreSQL runs as.
set -eu
data=$1 name=$2 url=$3

pg_basebackup --pgdata="$data" --dbname="$url" --wal-method=stream --checkpoint=fast --write-recovery-conf

# Once promoted it goes on alone: it must not wait for a standby that it has not got.
cat >> "$data/postgresql.auto.conf" <<EOF
cluster_name = '$name'
synchronous_standby_names = ''
EOF
