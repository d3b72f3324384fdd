#!/usr/bin/env bash
# Runs a program on ranks that see each other by TCP alone, each in a network namespace of its own, at a rate in Mbit/s:
#   bash bench/namespaces.sh RANKS RATE PROGRAM ARGUMENTS...
# It needs root, iproute2 and Open MPI. A rate of 0 is no limit. LINK_DOWN=SECONDS pulls the last rank's cable then.
set -euo pipefail
ranks=$1 rate=$2
shift 2
bridge=xb$$ prefix=xtape-$$-ns agent=$(mktemp)
cleanup() {
  for ((i = 1; i <= ranks; ++i)); do ip netns del "$prefix$i" 2>/dev/null || true; done
  ip link del "$bridge" 2>/dev/null || true
  rm -f "$agent"
}
trap cleanup EXIT
ip link add "$bridge" type bridge
ip link set "$bridge" up
hosts=()
for ((i = 1; i <= ranks; ++i)); do
  ip netns add "$prefix$i"
  ip link add "xv$$-$i" type veth peer name eth0 netns "$prefix$i"
  ip link set "xv$$-$i" master "$bridge" up
  ip -n "$prefix$i" addr add "10.77.0.$i/24" dev eth0
  ip -n "$prefix$i" link set eth0 up
  ip -n "$prefix$i" link set lo up
  if ((rate > 0)); then
    ip netns exec "$prefix$i" tc qdisc add dev eth0 root tbf rate "${rate}mbit" burst 256kb latency 50ms
  fi
  hosts+=("10.77.0.$i:1")
done
# In place of ssh: HOST COMMAND...
cat >"$agent" <<A
#!/usr/bin/env bash
host=\$1
shift
exec ip netns exec "$prefix\${host##*.}" unshare -u bash -c "hostname node\${host##*.}; \$*"
A
chmod +x "$agent"
if [[ -n ${LINK_DOWN-} ]]; then (sleep "$LINK_DOWN" && ip -n "$prefix$ranks" link set eth0 down) & fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
IFS=,
ip netns exec "${prefix}1" unshare -u bash -c 'hostname node1; exec "$@"' bash mpirun --mca plm_rsh_agent "$agent" \
  --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,self --mca pml ob1 --mca btl_tcp_if_include 10.77.0.0/24 \
  --mca oob_tcp_if_include 10.77.0.0/24 --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 \
  --mca oob_tcp_keepalive_probes 3 --bind-to none -x XTAPE_NUM_THREADS -x OMPI_ALLOW_RUN_AS_ROOT \
  -x OMPI_ALLOW_RUN_AS_ROOT_CONFIRM --host "${hosts[*]}" -n "$ranks" "$@"
