/** The agent's half of joining a cluster: proves that it has the token, and checks the answer. */
import { connect } from 'node:net';
import * as v from 'valibot';
import { errorMessage, UserError } from '../common/errors.ts';
import {
  answerText,
  JOIN_PATH,
  type JoinAnswer,
  type JoinRequest,
  type JoinToken,
  joinAnswer,
  proofOf,
} from '../common/protocol/join.ts';
import type { Random } from '../common/random.ts';
import { type NodeKeys, verifySignature } from '../common/rpc/keys.ts';

const TIMEOUT_MS = 15_000;
const NONCE_BYTES = 16;

const problemDocument = v.looseObject({ title: v.string(), msg: v.optional(v.string()) });

export interface ManagerAddress {
  readonly host: string;
  readonly port: number;
}

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/**
 * Asks the manager to be let in.
 * @throws UserError when it cannot be reached, refuses, or is not the manager of the token.
 */
export async function joinCluster(
  { host, port }: ManagerAddress,
  token: JoinToken,
  agent: { readonly id: string; readonly keys: NodeKeys },
  random: Random,
): Promise<JoinAnswer> {
  const claim = {
    tokenId: token.id,
    agentId: agent.id,
    publicKey: agent.keys.publicKey,
    nonce: Buffer.from(random.bytes(NONCE_BYTES)).toString('base64url'),
  };
  const request: JoinRequest = { ...claim, proof: proofOf(token.secret, claim) };
  const url = `http://${inUrl(host)}:${port}${JOIN_PATH}`;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    });
    body = await response.json();
  } catch (error) {
    throw new UserError(`The manager at ${host}:${port} cannot be asked: ${errorMessage(error)}`, {
      hint: 'Give the address of its internal API: [manager] internal-addr of manager.toml, port 18080.',
      cause: error,
    });
  }
  if (!response.ok) {
    const problem = v.safeParse(problemDocument, body);
    const why = problem.success ? (problem.output.msg ?? problem.output.title) : '';
    throw new UserError(`The manager refuses: ${why || response.status}`, {
      hint:
        response.status === 404
          ? 'That is not the internal API of a manager: [manager] internal-addr of manager.toml.'
          : undefined,
    });
  }
  const answer = v.safeParse(joinAnswer, body);
  const isGenuine =
    answer.success &&
    verifySignature(
      token.managerPublicKey,
      answerText(claim, answer.output),
      answer.output.signature,
    );
  if (!isGenuine) {
    throw new UserError(`What answers at ${host}:${port} is not the manager that made the token.`, {
      hint: 'Check the address. With several managers, make the token at the one you join.',
    });
  }
  return answer.output;
}

/** The address of this machine as the manager would see it: that of a connection to it. */
export function localAddressTowards({ host, port }: ManagerAddress): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const fail = (why: string) => {
      socket.destroy();
      reject(
        new UserError(`The manager at ${host}:${port} cannot be reached: ${why}`, {
          hint: 'Give the address of its internal API: [manager] internal-addr of manager.toml.',
        }),
      );
    };
    socket.once('connect', () => {
      const address = socket.localAddress ?? '127.0.0.1';
      socket.destroy();
      resolve(address);
    });
    socket.once('timeout', () => fail('no answer'));
    socket.once('error', (error) => fail(errorMessage(error)));
  });
}
