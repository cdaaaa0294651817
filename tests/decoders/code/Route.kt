package example

data class Stop(val name: String, val minutes: Int)

class Route(private val stops: List<Stop>) {
    val minutes: Int
        get() = stops.sumOf { it.minutes }

    fun after(name: String): List<Stop> = stops.dropWhile { it.name != name }.drop(1)
}

fun main() {
    val route = Route(listOf(Stop("Harbour", 4), Stop("Market", 7), Stop("Tower", 3)))
    println("${route.minutes} minutes, then ${route.after("Harbour").first().name}")
}
