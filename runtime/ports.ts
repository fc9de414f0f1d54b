import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as deliveriesTable from "./delivery/deliveriesTable.ts"
import * as edge from "./http/edge/edge.ts"
import * as idempotencyTable from "./http/edge/idempotencyTable.ts"
import * as signedPages from "./http/edge/signedPages.ts"
import type { Module } from "./module/Module.ts"
import { Outbox } from "./outbox/Outbox.ts"
import { outboxTable } from "./outbox/outboxTable.ts"
import { Database, type Databases } from "./sql/Database.ts"
import { migrate } from "./sql/migrate.ts"
import { Tasks } from "./module/Tasks.ts"
import { tasksIn } from "./tasks/taskTable.ts"

/** The bells of a module. Each rings in every instance when there is work. */
export const bells = { outbox: "outbox", tasks: "tasks" } as const

/** All ports of one module, on its own database, migrated. */
export const portsOf = (module: Module, database: ReturnType<Databases["Service"]["of"]>) => {
  const outbox = Effect.gen(function* () {
    const { bell } = yield* Database
    return outboxTable(yield* SqlClient.SqlClient, bell(bells.outbox).ring, module)
  })
  const tasks = Effect.gen(function* () {
    const { bell } = yield* Database
    const names = module.tasks.map(({ name }) => name)
    return tasksIn(yield* SqlClient.SqlClient, names, bell(bells.tasks).ring)
  })
  return Layer.mergeAll(
    Layer.effect(Outbox, outbox),
    Layer.effect(Tasks, tasks),
    deliveriesTable.layer(module.reactions),
    idempotencyTable.layer,
    signedPages.layer,
    edge.layer,
  ).pipe(Layer.provideMerge(Layer.effectDiscard(migrate(module.migrations, module.name))), Layer.provideMerge(database))
}
