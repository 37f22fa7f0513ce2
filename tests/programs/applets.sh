# What busybox' shell and its built-in applets do without a second process.
set -eu
mkdir -p /tmp/a/b
cd /tmp/a
echo one > b/x
echo two >> b/x
while read -r line; do echo "line: $line"; done < b/x
for n in 1 2 3; do printf '%s ' "$n"; done; echo
test -f b/x && echo "b/x is a file"
test -d b && echo "b is a directory"
[ "$((6 * 7))" -eq 42 ] && echo "sums are right"
echo b/*
pwd
type cd
x=hello; echo "${#x} ${x#he} ${x%lo}"
case $x in h*) echo "starts with h";; esac
f() { echo "function with $# arguments: $*"; }
f p q
trap 'echo left' EXIT
exit 3
