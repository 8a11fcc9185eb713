#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh - the main job in one command: the sample service under load, watched by the agent
#
# Called by `make run`, which has built everything. The load ends by itself after an hour; Ctrl-C ends all of it
# earlier. Whatever happens, no process and no file stays behind.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "make run: loading BPF programs needs root: sudo make run" >&2
    exit 1
fi

data=$(mktemp -d)
service='' load='' agent='' log="$data/service.log"

finish() {
    trap '' INT TERM
    trap - EXIT
    for pid in $load $service $agent; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in $load $service $agent; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$data"
}
trap finish EXIT
trap 'exit 0' INT TERM

TRACING_SERVICE_NAME=script-runner build/services/scriptd --data "$data" --quiet >"$log" 2>&1 &
service=$!
url=''
for _ in $(seq 100); do
    url=$(grep -o 'http://127.0.0.1:[0-9]*' "$log" | head -n 1) && break
    if ! kill -0 "$service" 2>/dev/null; then
        echo "make run: the sample service did not start:" >&2
        cat "$log" >&2
        exit 1
    fi
    sleep 0.1
done
echo "The sample service listens on $url and runs bash and python scripts that come over HTTP."
echo "Send one of your own:  curl -d '{\"language\": \"bash\", \"script\": \"sleep 1\"}' $url/jobs"
/usr/bin/python3 tests/services/load.py --url "$url" --seconds 3600 --rate 5 --quiet >"$data/load.log" 2>&1 &
load=$!
# The usual port, unless somebody has it; then any.
port=9464
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then port=0; fi
# In a mount namespace of its own, with a bpffs that goes with it: this agent neither finds nor leaves anything on the host, and
# what it says of counting that goes on without it holds for any other bpffs, not for this one.
mkdir "$data/bpf"
unshare --mount sh -c 'mount -t bpf bpf "$1/bpf"; exec build/probemeter run --exporter console,prometheus \
    --prometheus-port "$2" --bpffs "$1/bpf" --run-dir "$1/run"' run.sh "$data" "$port" \
    2> >(tee "$data/agent.log" | grep --line-buffered -v "counting goes on" >&2) &
agent=$!
for _ in $(seq 50); do
    page=$(grep -o 'http://[0-9.]*:[0-9]*' "$data/agent.log" 2>/dev/null | head -n 1) && break
    sleep 0.1
done
echo
echo "Look at $page/ with a browser: the live page. Prometheus would scrape $page/metrics."
echo "The agent also prints what it counts, every ten seconds. Ctrl-C ends everything."
echo
wait "$agent"
