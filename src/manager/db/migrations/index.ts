/** The schema's history: every migration in the order in which it is applied. */
import type { Migration } from '../../../stores/sql/migrate.ts';
import core from './0001_core.sql' with { type: 'text' };
import resources from './0002_resources.sql' with { type: 'text' };
import sessions from './0003_sessions.sql' with { type: 'text' };
import vfolders from './0004_vfolders.sql' with { type: 'text' };
import agentLink from './0005_agent_link.sql' with { type: 'text' };
import controlPlane from './0006_control_plane.sql' with { type: 'text' };
import auditLog from './0007_audit_log.sql' with { type: 'text' };
import auditAddress from './0008_audit_address.sql' with { type: 'text' };
import rbac from './0009_rbac.sql' with { type: 'text' };
import folderWork from './0011_folder_work.sql' with { type: 'text' };
import sessionLists from './0012_session_lists.sql' with { type: 'text' };
import registryProjects from './0013_registry_projects.sql' with { type: 'text' };
import fairShare from './0014_fair_share.sql' with { type: 'text' };
import listOrder from './0015_list_order.sql' with { type: 'text' };
import groupTime from './0016_group_time.sql' with { type: 'text' };
import clusters from './0017_clusters.sql' with { type: 'text' };
import sessionTemplates from './0018_session_templates.sql' with { type: 'text' };
import dueKernels from './0020_due_kernels.sql' with { type: 'text' };
import folderIndexes from './0021_folder_indexes.sql' with { type: 'text' };
import lighterUpdates from './0022_lighter_updates.sql' with { type: 'text' };
import scheduler from './0023_scheduler.sql' with { type: 'text' };
import sessionTraces from './0024_session_traces.sql' with { type: 'text' };
import lighterChurn from './0025_lighter_churn.sql' with { type: 'text' };
import lighterHistory from './0026_lighter_history.sql' with { type: 'text' };

export const migrations: readonly Migration[] = [
  { version: 1, name: 'core', sql: core },
  { version: 2, name: 'resources', sql: resources },
  { version: 3, name: 'sessions', sql: sessions },
  { version: 4, name: 'vfolders', sql: vfolders },
  { version: 5, name: 'agent_link', sql: agentLink },
  { version: 6, name: 'control_plane', sql: controlPlane },
  { version: 7, name: 'audit_log', sql: auditLog },
  { version: 8, name: 'audit_address', sql: auditAddress },
  { version: 9, name: 'rbac', sql: rbac },
  { version: 11, name: 'folder_work', sql: folderWork },
  { version: 12, name: 'session_lists', sql: sessionLists },
  { version: 13, name: 'registry_projects', sql: registryProjects },
  { version: 14, name: 'fair_share', sql: fairShare },
  { version: 15, name: 'list_order', sql: listOrder },
  { version: 16, name: 'group_time', sql: groupTime },
  { version: 17, name: 'clusters', sql: clusters },
  { version: 18, name: 'session_templates', sql: sessionTemplates },
  { version: 20, name: 'due_kernels', sql: dueKernels },
  { version: 21, name: 'folder_indexes', sql: folderIndexes },
  { version: 22, name: 'lighter_updates', sql: lighterUpdates },
  { version: 23, name: 'scheduler', sql: scheduler },
  { version: 24, name: 'session_traces', sql: sessionTraces },
  { version: 25, name: 'lighter_churn', sql: lighterChurn },
  { version: 26, name: 'lighter_history', sql: lighterHistory },
];
