/** The agent's half of joining a cluster: proves that it has the token, and checks the answer. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import * as v from 'valibot';
import { errorMessage, UserError } from '../common/errors.ts';
import {
  answerText,
  JOIN_PATH,
  type JoinAnswer,
  type JoinRequest,
  type JoinToken,
  joinAnswer,
  type ManagerAddress,
  proofOf,
} from '../common/protocol/join.ts';
import type { Random } from '../common/random.ts';
import { type NodeKeys, verifySignature } from '../common/rpc/keys.ts';

const TIMEOUT_MS = 15_000;
const NONCE_BYTES = 16;

const problemDocument = v.looseObject({ title: v.string(), msg: v.optional(v.string()) });

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

/**
 * The address of this machine as the manager sees it: the one from which packets to it leave. Nothing is
 * sent, so the manager may be away.
 * @throws UserError when no network leads there.
 */
export async function localAddressTowards({ host, port }: ManagerAddress): Promise<string> {
  const socketTo = async () => {
    const { address, family } = await lookup(host);
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    socket.once('error', reject);
    socket.connect(port, address, () => resolve(socket.address().address));
    return await promise.finally(() => socket.close());
  };
  try {
    return await socketTo();
  } catch (error) {
    throw new UserError(`No network leads to the manager at ${host}: ${errorMessage(error)}`, {
      hint: "Check the manager's address. Or say by which this machine is reached: --advertise, advertised-rpc-addr and bind-host in agent.toml.",
      cause: error,
    });
  }
}
