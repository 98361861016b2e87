/** The storage proxy's worker for archives: compiled by itself, since a worker loads its own program. */
import '../src/storage/archives/worker.ts';
