/** SQL about the audit log. */
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

export interface AuditRecord {
  readonly entityType: string;
  readonly operation: string;
  readonly entityId: string;
  readonly actionId: string;
  readonly requestId: string | null;
  /** The user's id; null for somebody who has no account. */
  readonly triggeredBy: string | null;
  /** From where the request came. */
  readonly clientAddress: string | null;
  readonly description: string;
  readonly durationSec: number;
  readonly before: unknown;
  readonly after: unknown;
}

export async function insertAuditRecords(sql: Db, records: readonly AuditRecord[]): Promise<void> {
  if (records.length === 0) return;
  await sql`
    INSERT INTO audit_logs (entity_type, operation, entity_id, action_id, request_id, triggered_by,
                            description, duration, status, before, after, client_address)
    SELECT "entityType", operation, "entityId", "actionId", "requestId", "triggeredBy", description,
           make_interval(secs => "durationSec"), 'success', before, after, "clientAddress"
      FROM jsonb_to_recordset(${jsonText(records)}::text::jsonb) AS r("entityType" text,
           operation text, "entityId" text, "actionId" uuid, "requestId" text, "triggeredBy" text,
           description text, "durationSec" float8, before jsonb, after jsonb, "clientAddress" text)`;
}
