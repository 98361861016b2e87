/** The storage proxy's worker for attributes of folders: compiled by itself, since a worker loads its own program. */
import '../src/storage/volumes/cephfs/worker.ts';
