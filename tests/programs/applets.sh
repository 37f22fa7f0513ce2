# What busybox' shell does without a second process.
set -eu
cd /tmp
echo one > x
echo two >> x
while read -r line; do echo "line: $line"; done < x
for n in 1 2 3; do printf '%s ' "$n"; done; echo
test -f x && echo "x is a file"
test -d /tmp && echo "/tmp is a directory"
[ "$((6 * 7))" -eq 42 ] && echo "sums are right"
echo /tmp/*
pwd
type cd
x=hello; echo "${#x} ${x#he} ${x%lo}"
case $x in h*) echo "starts with h";; esac
f() { echo "function with $# arguments: $*"; }
f p q
trap 'echo left' EXIT
exit 3
