/** Connects xterm.js on this page to the terminal's WebSocket; connects again when it is lost. */
(() => {
  const INPUT = '0';
  const RESIZE = '1';
  const PAUSE = '2';
  const RESUME = '3';
  const OUTPUT = 0x30;
  const TITLE = 0x31;
  const CLOSED_BY_SHELL = 1000;
  /** Writes that wait to be drawn before the sender is told to pause, and to go on. */
  const HIGH_WATER = 16;
  const LOW_WATER = 4;
  const FIRST_RETRY_MS = 250;
  const LAST_RETRY_MS = 10_000;

  const base = location.pathname.replace(/\/+$/, '');
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socketUrl = `${scheme}://${location.host}${base}/ws${location.search}`;
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const notice = document.getElementById('notice');
  const terminal = new window.Terminal({ cursorBlink: true, fontSize: 14, scrollback: 10_000 });
  const fit = new window.FitAddon.FitAddon();
  terminal.loadAddon(fit);
  terminal.open(document.getElementById('terminal'));
  fit.fit();
  terminal.focus();
  // Where ttyd's page has it.
  window.term = terminal;

  let socket = null;
  let waiting = 0;
  let isPaused = false;
  let retryMs = FIRST_RETRY_MS;
  let hasEnded = false;

  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
  const send = (command, payload) => {
    if (isOpen()) socket.send(encoder.encode(command + payload));
  };

  const draw = (bytes) => {
    waiting += 1;
    if (waiting > HIGH_WATER && !isPaused) {
      isPaused = true;
      send(PAUSE, '');
    }
    terminal.write(bytes, () => {
      waiting -= 1;
      if (waiting < LOW_WATER && isPaused) {
        isPaused = false;
        send(RESUME, '');
      }
    });
  };

  const onMessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    const payload = bytes.subarray(1);
    if (bytes[0] === OUTPUT) draw(payload);
    else if (bytes[0] === TITLE) document.title = decoder.decode(payload);
  };

  const connect = async () => {
    let token = '';
    try {
      token = (await (await fetch(`${base}/token${location.search}`)).json()).token;
    } catch {
      retry();
      return;
    }
    socket = new WebSocket(socketUrl, ['tty']);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      notice.textContent = '';
      retryMs = FIRST_RETRY_MS;
      isPaused = false;
      const { cols: columns, rows } = terminal;
      socket.send(encoder.encode(JSON.stringify({ AuthToken: token, columns, rows })));
    };
    socket.onmessage = onMessage;
    socket.onclose = ({ code }) => {
      hasEnded = code === CLOSED_BY_SHELL;
      if (hasEnded) notice.textContent = 'The shell has ended. Press Enter for a new one.';
      else retry();
    };
  };

  const retry = () => {
    notice.textContent = 'Disconnected; connecting again…';
    setTimeout(connect, retryMs);
    retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
  };

  terminal.onData((data) => {
    if (isOpen()) send(INPUT, data);
    else if (data === '\r' && hasEnded) {
      hasEnded = false;
      connect();
    }
  });
  terminal.onBinary((data) => {
    const bytes = Uint8Array.from(data, (letter) => letter.charCodeAt(0));
    if (isOpen()) socket.send(Uint8Array.of(INPUT.charCodeAt(0), ...bytes));
  });
  terminal.onResize(({ cols: columns, rows }) => send(RESIZE, JSON.stringify({ columns, rows })));
  terminal.onTitleChange((title) => {
    document.title = title;
  });
  addEventListener('resize', () => fit.fit());
  connect();
})();
