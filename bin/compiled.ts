/**
 * Entry point of the compiled file. It loads one of the programs compiled into it: the runner is a
 * small one of its own, because the start of a session waits for it.
 */
const program = process.argv[2] === 'kernel-runner' ? 'kernel-runner' : 'backend.ai';
// A name made at run time, or the compiler would put everything into one program again.
void import(`/$bunfs/root/${program}.js`);

export {};
