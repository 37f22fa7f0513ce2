"""What a service in Python touches: json, files, threads, locks, time, randomness, sqlite, ssl, hashes, compression."""
import hashlib, json, multiprocessing, os, queue, sqlite3, ssl, struct, sys, tempfile, threading, time, zlib
from multiprocessing import resource_tracker, shared_memory

print(json.dumps({"name": "bespoke", "list": [1, 2.5, None]}, sort_keys=True))

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "file")
    with open(path, "w") as file:
        file.write("line\n" * 1000)
    assert os.stat(path).st_size == 5000
    os.rename(path, path + "2")
    print(sorted(os.listdir(folder)), sum(1 for _ in open(path + "2")))
assert not os.path.exists(folder)

results = queue.Queue()
lock, total = threading.Lock(), 0

def work(n):
    global total
    for _ in range(200):
        with lock:
            total += 1
    time.sleep(0.01 * n)
    results.put(n)

threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("threads", sorted(results.get() for _ in threads), total)

database = sqlite3.connect(":memory:")
database.execute("create table t (a integer primary key, b text)")
database.executemany("insert into t (b) values (?)", [(str(n),) for n in range(100)])
print("sqlite", database.execute("select count(*), sum(a) from t").fetchone())

assert ssl.create_default_context().protocol
print("hash", hashlib.sha256(b"bespoke").hexdigest()[:16], zlib.crc32(b"bespoke"))
assert len(os.urandom(32)) == 32 and os.urandom(8) != os.urandom(8)
assert struct.unpack("<I", struct.pack("<I", 7)) == (7,)
start = time.monotonic()
time.sleep(0.02)
assert 0.02 <= time.monotonic() - start < 5
assert time.time() > 1_600_000_000
try:
    os.fork()
except OSError as error:
    print("fork:", error.strerror)
# Names in /dev/shm; what looks after them would be a process of its own.
resource_tracker.register = resource_tracker.unregister = lambda *_: None
memory = shared_memory.SharedMemory("memory", create=True, size=100)
with multiprocessing.Lock():
    memory.buf[:5] = b"named"
again = shared_memory.SharedMemory("memory")
assert bytes(again.buf[:5]) == b"named" and os.listdir("/dev/shm") == ["memory"]
again.close(), memory.close(), memory.unlink()
read, write = os.pipe()
os.write(write, b"through a pipe")
print(os.read(read, 100).decode())
sys.exit(9)
