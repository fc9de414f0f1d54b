import { PGlite } from "@electric-sql/pglite"

/** Opens PGlite on a folder, says so, and stays until it is let go. */
const db = await PGlite.create({ dataDir: process.argv[2]! })
await db.query("select 1")
process.on("disconnect", () => void db.close().then(() => process.exit(0)))
process.send!("ready")
