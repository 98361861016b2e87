-- Projects that may use a container registry which is not for everybody.
CREATE TABLE association_container_registries_groups (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  registry_id uuid NOT NULL,
  group_id uuid NOT NULL,
  CONSTRAINT pk_association_container_registries_groups PRIMARY KEY (id),
  CONSTRAINT uq_registry_id_group_id UNIQUE (registry_id, group_id),
  CONSTRAINT fk_association_container_registries_groups_registry_id FOREIGN KEY (registry_id) REFERENCES container_registries (id) ON DELETE CASCADE,
  CONSTRAINT fk_association_container_registries_groups_group_id FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE
);
CREATE INDEX ix_association_container_registries_groups_group_id ON association_container_registries_groups (group_id);
