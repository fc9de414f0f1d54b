import { inOneProcess, shapes } from "../../testing/deployment.ts"
import { testJourney } from "../journey.ts"

testJourney((await shapes()).filter((shape) => shape !== inOneProcess))
