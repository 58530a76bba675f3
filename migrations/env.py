"""Alembic's entry: the runner brings the connection and its transaction, or asks for the text only."""

from __future__ import annotations

from alembic import context

from migrations.files import VERSION_TABLE_SCHEMA

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name="postgresql",
        as_sql=True,
        transactional_ddl=False,  # the runner writes begin and commit itself, around more than the revisions
        version_table_schema=VERSION_TABLE_SCHEMA,
    )
else:
    context.configure(connection=connection, version_table_schema=VERSION_TABLE_SCHEMA)

with context.begin_transaction():
    context.run_migrations()
