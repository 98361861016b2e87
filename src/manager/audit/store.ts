/** SQL about the audit log. */
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

export interface AuditRecord {
  readonly entityType: string;
  readonly operation: string;
  readonly entityId: string;
  readonly actionId: string;
  readonly requestId: string;
  /** The user's id; null for somebody who has no account. */
  readonly triggeredBy: string | null;
  /** From where the request came. */
  readonly clientAddress: string | null;
  readonly description: string;
  readonly durationSec: number;
  readonly before: unknown;
  readonly after: unknown;
}

const json = (value: unknown): string | null =>
  value === null || value === undefined ? null : jsonText(value);

export async function insertAuditRecord(sql: Db, record: AuditRecord): Promise<void> {
  await sql`
    INSERT INTO audit_logs (entity_type, operation, entity_id, action_id, request_id, triggered_by,
                            description, duration, status, before, after, client_address)
    VALUES (${record.entityType}, ${record.operation}, ${record.entityId}, ${record.actionId},
            ${record.requestId}, ${record.triggeredBy}, ${record.description},
            make_interval(secs => ${record.durationSec}), 'success',
            ${json(record.before)}::text::jsonb, ${json(record.after)}::text::jsonb, ${record.clientAddress})`;
}
