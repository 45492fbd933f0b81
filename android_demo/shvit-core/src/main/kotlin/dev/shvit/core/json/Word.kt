package dev.shvit.core.json

/** A value of a closed list, with its spelling in documents. */
interface Word {
    /** The spelling. */
    val word: String
}

internal inline fun <reified W> Fields.word(name: String): W where W : Enum<W>, W : Word = among(name, enumValues<W>())

internal fun <W : Word> Fields.among(name: String, choices: Array<W>): W {
    val given = text(name)
    return choices.firstOrNull { it.word == given }
        ?: fail(name, "'$given' is not one of ${choices.joinToString { it.word }}")
}

/** Reads a list of such values. */
internal inline fun <reified W> Fields.words(name: String): List<W> where W : Enum<W>, W : Word =
    texts(name).mapIndexed { index, given ->
        enumValues<W>().firstOrNull { it.word == given }
            ?: fail("$name.$index", "'$given' is not one of ${enumValues<W>().joinToString { it.word }}")
    }

internal fun json(word: Word?): Json = json(word?.word)
