/**
 * Makes and unpacks archives of one volume beside everything else the proxy does: with calls that
 * block, of which there are several for each small file.
 */
import { parentPort } from 'node:worker_threads';
import * as v from 'valibot';
import { checkArchive, makeArchive } from './make.ts';
import { failureOf, type Order, order, type Report } from './messages.ts';
import { unpackTar } from './unpack.ts';

/** An archive that is being sent. */
interface Sending {
  /** Called when another piece may be sent. */
  more(): void;
  stop(): void;
}

const sending = new Map<number, Sending>();

function tell(report: Report): void {
  parentPort?.postMessage(report, report.kind === 'piece' ? [report.bytes.buffer] : []);
}

/** Sends as many pieces as were asked for. */
async function make({ id, archive }: Extract<Order, { kind: 'make' }>): Promise<void> {
  const { pieces, giveUp } = await makeArchive(archive);
  let asked = 0;
  let isStopped = false;
  let wake = () => {};
  const call = {
    more() {
      asked += 1;
      wake();
    },
    stop() {
      isStopped = true;
      giveUp();
      wake();
    },
  };
  sending.set(id, call);
  tell({ kind: 'begun', id });
  try {
    for (;;) {
      while (asked === 0 && !isStopped) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (isStopped) return;
      const { done, value } = await pieces.next();
      if (done) return;
      asked -= 1;
      tell({ kind: 'piece', id, bytes: value });
    }
  } finally {
    sending.delete(id);
  }
}

async function follow(given: Order): Promise<void> {
  const { kind, id } = given;
  if (kind === 'more') return sending.get(id)?.more();
  if (kind === 'stop') return sending.get(id)?.stop();
  try {
    if (kind === 'unpack') await unpackTar(given.archive, given);
    else if (kind === 'check') await checkArchive(given.archive);
    else await make(given);
    tell({ kind: 'done', id });
  } catch (error) {
    tell(failureOf(id, error));
  }
}

parentPort?.on('message', (data: unknown) => void follow(v.parse(order, data)));
