import { Layer } from "effect"
import { inject } from "vitest"
import * as EmbeddedEventBus from "../../events/embedded/EmbeddedEventBus.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"
import * as EmbeddedDatabase from "../../sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"

/** The embedded database in memory: a fresh one each time it is built. */
export const postgres = () => EmbeddedPostgres.layerMemory({ snapshot: inject("emptyDatabase") })

/** The embedded drivers in memory, over one database, as a process of production has them. */
export const drivers = () =>
  Layer.merge(EmbeddedEventBus.layer, EmbeddedDatabase.layer).pipe(
    Layer.provideMerge(postgres()),
    Layer.provideMerge(Layer.sync(Loops, makeLoops)),
  )
