/**
 * Runs pieces of JavaScript in one Node process for the kernel runner. It answers with JSON lines on
 * file descriptor 3; events that belong to a place in the output are announced by a mark in both
 * output streams.
 */
{
  const fs = require('node:fs');
  const net = require('node:net');
  const repl = require('node:repl');
  const { Writable, PassThrough } = require('node:stream');
  const util = require('node:util');

  const CONTROL = 3;
  const RETRY_MS = 5;
  let nonce = '';
  let sequence = 0;
  /** The name of the current run; null between runs. */
  let running = null;
  /** Ends the current run with an error; null between runs. */
  let failRun = null;

  const sleeper = new Int32Array(new SharedArrayBuffer(4));

  /** Writes at once and in full, so that a full pipe stops the program instead of using memory. */
  const writeAll = (fd, data) => {
    let rest = Buffer.from(data);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(fs.writeSync(fd, rest));
      } catch (error) {
        if (error.code !== 'EAGAIN') throw error;
        Atomics.wait(sleeper, 0, 0, RETRY_MS);
      }
    }
  };

  for (const [name, fd] of [
    ['stdout', 1],
    ['stderr', 2],
  ]) {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
    // Replaced as a whole: an interrupt inside would leave the stream waiting for itself for ever.
    stream.write = (chunk, encoding, callback) => {
      const done = typeof encoding === 'function' ? encoding : callback;
      const name = typeof encoding === 'string' ? encoding : 'utf8';
      writeAll(fd, typeof chunk === 'string' ? Buffer.from(chunk, name) : chunk);
      if (done) process.nextTick(done);
      return true;
    };
    stream.fd = fd;
    Object.defineProperty(process, name, { value: stream, configurable: true, writable: true });
  }

  const control = new net.Socket({ fd: CONTROL, readable: true, writable: true });
  const send = (message) => control.write(`${JSON.stringify(message)}\n`);

  const sendEvent = (type, fields) => {
    sequence += 1;
    for (const fd of [1, 2]) writeAll(fd, `\x1e${nonce}:${sequence}\x1f`);
    send({ ...fields, type, seq: sequence });
  };

  const server = repl.start({
    prompt: '',
    input: new PassThrough(),
    output: new Writable({
      write(chunk, _encoding, done) {
        writeAll(2, chunk);
        done();
      },
    }),
    terminal: false,
    useGlobal: true,
    breakEvalOnSigint: true,
    ignoreUndefined: true,
  });
  for (const name of ['exit', 'close']) server.removeAllListeners(name);

  /** While the REPL evaluates, up to the first await; a signal it reports then is kept. */
  let evaluating = false;
  let interruptedLate = false;
  const emit = server.emit;
  server.emit = (name, ...values) => {
    if (name !== 'SIGINT' || !evaluating) return emit.call(server, name, ...values);
    interruptedLate = true;
    return true;
  };

  /** An error as text, without the frames of the REPL and of this driver. */
  const describe = (error) => {
    if (error?.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') return 'Interrupted';
    if (!(error instanceof Error) && typeof error?.stack !== 'string') {
      return `Uncaught ${util.inspect(error)}`;
    }
    delete error.domainThrown;
    const lines = util.inspect(error).split('\n');
    const foreign = (line) => /^\s+at .*(\bnode:|\[eval\]|ContextifyScript)/.test(line);
    return `Uncaught ${lines.filter((line) => !foreign(line)).join('\n')}`;
  };

  const finish = (error, value, failed) => {
    if (failed) {
      process.stderr.write(`${describe(error)}\n`);
    } else if (value !== undefined) {
      server.last = value;
      process.stdout.write(`${util.inspect(value, { depth: 4 })}\n`);
    }
    running = null;
    sendEvent('done', { exitCode: failed ? 1 : 0 });
  };

  /** Interrupts code that awaits; code that computes is interrupted by breakEvalOnSigint. */
  const onInterrupt = () => {
    if (running !== null) server.emit('SIGINT');
  };
  process.on('SIGINT', onInterrupt);

  const run = (code, name) => {
    running = name;
    let answered = false;
    const answer = (error, value) => {
      if (answered) return;
      answered = true;
      failRun = null;
      finish(error, value, error !== null);
    };
    failRun = (error) => answer(error);
    // Removing a listener resets the signal, so Node's own handling of it must begin afterwards.
    process.removeListener('SIGINT', onInterrupt);
    evaluating = true;
    interruptedLate = false;
    server.eval(code.endsWith('\n') ? code : `${code}\n`, server.context, name, (error, value) =>
      answer(error ?? null, value),
    );
    evaluating = false;
    process.on('SIGINT', onInterrupt);
    // It came when the code had just reached its first await, and nobody listened for it yet.
    if (interruptedLate && !answered) server.emit('SIGINT');
  };

  /**
   * The REPL hands what code throws, at once or after an await, to its domain. Errors of callbacks
   * get there as well, but with a property that says so; they do not end a run.
   */
  const onError = (error) => {
    const fromCallback = error?.domainThrown === true;
    if (failRun === null || fromCallback) process.stderr.write(`${describe(error)}\n`);
    else failRun(error);
  };
  const onBackgroundError = (error) => {
    process.stderr.write(`${describe(error)}\n`);
  };
  server._domain.removeAllListeners('error');
  server._domain.on('error', onError);
  process.on('uncaughtException', onBackgroundError);
  process.on('unhandledRejection', onBackgroundError);

  const complete = (id, line) => {
    server.completer(line, (error, result) => {
      const suggestions = error ? [] : result[0].filter((name) => name !== '').slice(0, 500);
      send({ type: 'completion', id, suggestions });
    });
  };

  let held = '';
  control.setEncoding('utf8');
  control.on('data', (text) => {
    const lines = (held + text).split('\n');
    held = lines.pop();
    for (const line of lines) {
      const command = JSON.parse(line);
      if (command.op === 'init') {
        nonce = command.nonce;
        send({ type: 'ready' });
      } else if (command.op === 'run') {
        run(command.code, command.name);
      } else if (command.op === 'interrupt') {
        // The code awaits, or this would not be read. A signal is no good here: while Node takes down
        // its watchdog of running code, it drops one or dies of it.
        if (running === command.name) server.emit('SIGINT');
      } else if (command.op === 'complete') {
        complete(command.id, command.line);
      }
    }
  });
  control.on('error', () => process.exit(0));
  control.on('close', () => process.exit(0));
}
