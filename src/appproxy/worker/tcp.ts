/** A client's plain TCP connection, for applications that do not speak HTTP. */
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Tracer } from '../../common/tracing.ts';
import type { Circuit } from './circuit.ts';
import type { Counters } from './counters.ts';
import { splice } from './splice.ts';
import { traceTcp } from './trace.ts';
import type { Wire } from './wire.ts';

/**
 * Connects the client with the application. TCP tells nothing about who it is: addresses are all
 * that is checked, the rest is up to the application.
 * @param onClosed told once, when the connection is over.
 */
export async function serveTcp(
  wire: Wire,
  circuit: Circuit,
  options: {
    clientAddress: string;
    clock: Clock;
    counters: Counters;
    tracer: Tracer;
    onClosed: () => void;
  },
): Promise<void> {
  const { clientAddress, clock, counters, tracer, onClosed } = options;
  let isGone = false;
  const gone = () => {
    isGone = true;
    circuit.closed(wire);
    onClosed();
  };
  wire.owner = { received() {}, drained() {}, ended() {}, closed: gone };
  wire.pause();
  circuit.opened(wire);
  const route = circuit.admitsAddress(clientAddress) ? circuit.chooseRoute() : null;
  if (route === null) {
    wire.destroy();
    return;
  }
  const span = traceTcp(tracer, circuit);
  let app: Wire;
  try {
    app = await circuit.connect(route);
  } catch (error) {
    span?.end(errorMessage(error));
    // To the client that is what it looks like when the application itself refuses.
    wire.destroy();
    return;
  }
  span?.end(null);
  if (isGone) {
    app.destroy();
    return;
  }
  circuit.used();
  circuit.held += 1;
  counters.tcpOpened += 1;
  splice(wire, app, {
    clock,
    traffic: counters.tcpTraffic,
    onClosed() {
      circuit.held -= 1;
      counters.tcpClosed += 1;
      gone();
    },
  });
}
