"""The mistakes that are planted to test the checks of the Android code: see `planted.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LIBRARY = "shvit/src/main/kotlin/dev/shvit"
LITERT = "shvit-litert/src/main/kotlin/dev/shvit/litert/LiteRT.kt"
CAMERAX = "shvit-camerax/src/main/kotlin/dev/shvit/camerax"
APP = "app/src/main/kotlin/dev/shvit/demo"
RESOURCES = "app/src/main/res"


@dataclass(frozen=True)
class Mistake:
    """A mistake to plant.

    Attributes:
        what: A description.
        file: The file in the project.
        right: The correct text, which occurs once.
        wrong: The text that replaces it.
    """

    what: str
    file: str
    right: str
    wrong: str

    def plant(self, project: Path) -> None:
        """Plant the mistake in a project.

        Raises:
            ValueError: If the project does not contain the correct text once.
        """
        path = project / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.right) != 1:
            raise ValueError(f"{self.file} does not contain '{self.right}' once.")
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")


MISTAKES = (
    Mistake(
        "The API level of a newer member is not checked",
        f"{LIBRARY}/AndroidPhone.kt",
        "        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null\n",
        "",
    ),
    Mistake(
        "The check of the API level is inverted",
        f"{LIBRARY}/AndroidPhone.kt",
        "if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null",
        "if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) return null",
    ),
    Mistake("A member is misspelled", f"{LIBRARY}/AndroidPhone.kt", "isPowerSaveMode", "isPowerSavingMode"),
    Mistake("A float is used as a double", f"{LIBRARY}/AndroidPhone.kt", ".toDouble().takeIf(Double::isFinite)", ""),
    Mistake(
        "A method that only the newest ExecuTorch has is called",
        f"{LIBRARY}/ExecuTorch.kt",
        "        module.destroy()\n        place",
        "        module.close()\n        place",
    ),
    Mistake(
        "A result that only older ExecuTorch versions return is used",
        f"{LIBRARY}/ExecuTorch.kt",
        "status(module.loadMethod(METHOD))",
        "module.loadMethod(METHOD)",
    ),
    Mistake("A shape has 32-bit numbers", f"{LIBRARY}/ExecuTorch.kt", "toLongArray()", "map(Long::toInt).toIntArray()"),
    Mistake(
        "A method does not match its interface",
        f"{LIBRARY}/AssetFiles.kt",
        "InputStream = assets.open(place(file))",
        "InputStream? = assets.open(place(file))",
    ),
    Mistake(
        "A deprecated member is used",
        f"{LIBRARY}/AndroidPhone.kt",
        "power?.isPowerSaveMode",
        "power?.let { it.isScreenOn && it.isPowerSaveMode }",
    ),
    Mistake(
        "Two numbers are swapped",
        f"{LIBRARY}/ExecuTorch.kt",
        "Module.LOAD_MODE_MMAP, threads)",
        "threads, Module.LOAD_MODE_MMAP)",
    ),
    Mistake(
        "A missing text is named",
        f"{APP}/PhotoActivity.kt",
        "setText(R.string.no_picker)",
        "setText(R.string.no_pickers)",
    ),
    Mistake(
        "The app calls a method of a newer Android",
        f"{APP}/LiveActivity.kt",
        "        super.onPause()\n",
        "        super.onPause()\n        getSystemService(android.os.PowerManager::class.java).currentThermalStatus\n",
    ),
    Mistake(
        "A layout names a missing text",
        f"{RESOURCES}/layout/live.xml",
        "@string/waiting_for_camera",
        "@string/waiting_for_cameras",
    ),
    Mistake(
        "An attribute is misspelled",
        f"{RESOURCES}/layout/photo.xml",
        "android:adjustViewBounds",
        "android:adjustViewBound",
    ),
    Mistake(
        "The manifest lacks a permission that the code requests",
        "app/src/main/AndroidManifest.xml",
        '    <uses-permission android:name="android.permission.CAMERA" />\n',
        "",
    ),
    Mistake(
        "The manifest names a missing activity",
        "app/src/main/AndroidManifest.xml",
        'android:name=".PhotoActivity"',
        'android:name=".PhotosActivity"',
    ),
    Mistake(
        "An undefined alias of the catalog is used",
        "app/build.gradle.kts",
        "libs.androidx.test.runner",
        "libs.androidx.test.runners",
    ),
    Mistake(
        "The catalog defines an unused alias",
        "app/build.gradle.kts",
        "    androidTestImplementation(libs.androidx.test.junit)\n",
        "",
    ),
    Mistake(
        "A property of the Android plugin has its Groovy name",
        "app/build.gradle.kts",
        "isMinifyEnabled",
        "minifyEnabled",
    ),
    Mistake(
        "The wrapper's Gradle is too old for the Android plugin",
        "gradle/wrapper/gradle-wrapper.properties",
        "gradle-9.6.1-bin",
        "gradle-9.4.1-bin",
    ),
    # The following compile, and are found by running the code.
    Mistake(
        "The chroma planes are exchanged",
        f"{LIBRARY}/Pictures.kt",
        "planes.map { Plane",
        "listOf(planes[0], planes[2], planes[1]).map { Plane",
    ),
    Mistake("The padding of a frame's rows is ignored", f"{LIBRARY}/Pictures.kt", "it.rowStride", "width"),
    Mistake("Chroma samples are read as if they had no gaps", f"{LIBRARY}/Pictures.kt", "it.pixelStride", "1"),
    Mistake(
        "The facade shares the memory of bitmaps between threads",
        f"{LIBRARY}/ImageClassifier.kt",
        "    @Synchronized\n    fun classify(bitmap",
        "    fun classify(bitmap",
    ),
    Mistake(
        "Copies of old models stay",
        f"{LIBRARY}/ShvitModel.kt",
        "            cache.keepOnly(store.models().filterIsInstance<Stored.Usable>().map { it.model })\n",
        "",
    ),
    Mistake(
        "Memory that is too small is used again",
        f"{LIBRARY}/Pictures.kt",
        "takeIf { it.capacity() >= size }",
        "takeIf { it.capacity() > 0 }",
    ),
    Mistake(
        "The facade exchanges the chroma planes",
        f"{LIBRARY}/ImageClassifier.kt",
        "image.planes.map { Plane",
        "image.planes.sortedBy { if (it === image.planes[1]) 1 else 0 }.map { Plane",
    ),
    Mistake(
        "The facade ignores the padding of a frame's rows",
        f"{LIBRARY}/ImageClassifier.kt",
        "Plane(it.buffer, it.rowStride,",
        "Plane(it.buffer, image.width,",
    ),
    Mistake(
        "The facade ignores the crop rectangle",
        f"{LIBRARY}/ImageClassifier.kt",
        ", planes, image.cropRect.toPart())",
        ", planes)",
    ),
    Mistake(
        "The facade turns a frame the wrong way",
        f"{LIBRARY}/ImageClassifier.kt",
        "Orientation.fromDegrees(clockwise)",
        "Orientation.fromDegrees(360 - clockwise)",
    ),
    Mistake(
        "EXIF's orientation is ignored",
        f"{LIBRARY}/Pictures.kt",
        "toPicture(orientation, plan",
        "toPicture(reduction = plan",
    ),
    Mistake(
        "A large photo is decoded at its full scale",
        f"{LIBRARY}/Pictures.kt",
        "inSampleSize = plan.reduction",
        "inSampleSize = 1",
    ),
    Mistake(
        "Colors are converted to sRGB", f"{LIBRARY}/Pictures.kt", "pixels(plan.bytes(), plan)", "pixels(encoded, plan)"
    ),
    Mistake(
        "The padding of a bitmap's rows is ignored",
        f"{LIBRARY}/Pictures.kt",
        "bytes, readable.rowBytes",
        "bytes, 4 * width",
    ),
    Mistake(
        "A premultiplied bitmap is taken for another",
        f"{LIBRARY}/Pictures.kt",
        "readable.isPremultiplied)",
        "false)",
    ),
    Mistake(
        "A bitmap in graphics memory is read",
        f"{LIBRARY}/Pictures.kt",
        "if (config == Bitmap.Config.ARGB_8888) this",
        "if (config != Bitmap.Config.RGB_565) this",
    ),
    Mistake(
        "The caller's bitmap is recycled",
        f"{LIBRARY}/Pictures.kt",
        "if (readable !== this) readable.recycle()",
        "readable.recycle()",
    ),
    Mistake(
        "A bitmap is read after it is recycled",
        f"{LIBRARY}/Pictures.kt",
        "            return bitmap.toPixels()",
        "            bitmap.recycle()\n            return bitmap.toPixels()",
    ),
    Mistake(
        "The input tensor's buffer is not direct",
        f"{LIBRARY}/ExecuTorch.kt",
        "Tensor.allocateFloatBuffer(",
        "java.nio.FloatBuffer.allocate(",
    ),
    Mistake(
        "The input tensor's bytes have the wrong order",
        f"{LIBRARY}/ExecuTorch.kt",
        "Tensor.allocateFloatBuffer(manifest.input.shape.drop(1).fold(1, Int::times))",
        "java.nio.ByteBuffer.allocateDirect(manifest.input.shape.drop(1).fold(4, Int::times)).asFloatBuffer()",
    ),
    Mistake(
        "The input tensor keeps the first picture",
        f"{LIBRARY}/ExecuTorch.kt",
        "        buffer.put(values)\n",
        "        if ((0 until buffer.limit()).all { buffer.get(it) == 0f }) buffer.put(values)\n",
    ),
    Mistake(
        "A closed model runs",
        f"{LIBRARY}/ShvitModel.kt",
        '        check(!closed) { "${manifest.artifact.name} has been closed" }\n',
        "",
    ),
    Mistake("A model is destroyed twice", f"{LIBRARY}/ShvitModel.kt", "        if (closed) return\n", ""),
    Mistake(
        "A closed model keeps its memory",
        f"{LIBRARY}/ExecuTorch.kt",
        "        module.destroy()\n        place.close()",
        "        place.close()",
    ),
    Mistake(
        "A closed model keeps its place in the thread pool",
        f"{LIBRARY}/ExecuTorch.kt",
        "        module.destroy()\n        place.close()",
        "        module.destroy()",
    ),
    Mistake(
        "A model is destroyed while it runs",
        f"{LIBRARY}/ShvitModel.kt",
        "    @Synchronized\n    override fun close()",
        "    override fun close()",
    ),
    Mistake(
        "A model that cannot be prepared keeps its memory",
        f"{LIBRARY}/ExecuTorch.kt",
        "            module.destroy()\n",
        "",
    ),
    Mistake(
        "A model is read instead of mapped",
        f"{LIBRARY}/ExecuTorch.kt",
        "LOAD_MODE_MMAP",
        "LOAD_MODE_FILE",
    ),
    Mistake(
        "What a runtime throws is not named if it is no runtime exception",
        f"{LIBRARY}/ShvitModel.kt",
        "        } catch (reason: Exception) {",
        "        } catch (reason: RuntimeException) {",
    ),
    Mistake(
        "LiteRT may use another processor",
        LITERT,
        "CompiledModel.Options(Accelerator.CPU)",
        "CompiledModel.Options(Accelerator.GPU, Accelerator.CPU)",
    ),
    Mistake(
        "LiteRT ignores the number of threads",
        LITERT,
        "        if (threads > 0) options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)\n",
        "",
    ),
    Mistake("LiteRT is given no thread", LITERT, "if (threads > 0) options", "options"),
    Mistake("An option has another option's type", LITERT, "numThreads = threads", "xnnPackWeightCachePath = threads"),
    Mistake("LiteRT's model stays open", LITERT, "(file.path, options).also(opened::add)", "(file.path, options)"),
    Mistake("LiteRT's input stays open", LITERT, "createInputBuffers().also(opened::addAll)", "createInputBuffers()"),
    Mistake(
        "LiteRT's output stays open", LITERT, "createOutputBuffers().also(opened::addAll)", "createOutputBuffers()"
    ),
    Mistake(
        "LiteRT's model is closed before its buffers",
        LITERT,
        "opened.asReversed().forEach",
        "opened.forEach",
    ),
    Mistake("A model that LiteRT cannot prepare keeps its memory", LITERT, "            closeAll(opened)\n", ""),
    Mistake(
        "A model with two inputs runs on one",
        LITERT,
        "inputs.size == 1 && outputs.size == expected",
        "inputs.isNotEmpty() && outputs.isNotEmpty()",
    ),
    Mistake(
        "Each inference of LiteRT makes an output of its own",
        LITERT,
        "override fun run() = model.run(inputs, outputs)",
        "override fun run() { model.run(inputs) }",
    ),
    Mistake(
        "LiteRT's input is read as its output",
        LITERT,
        "outputs.map(TensorBuffer::readFloat)",
        "inputs.map(TensorBuffer::readFloat)",
    ),
    Mistake(
        "The app loads models without LiteRT",
        f"{APP}/Library.kt",
        "context, model.stem, engines = ENGINES",
        "context, model.stem",
    ),
    Mistake(
        "A report names another runtime than the one that ran",
        f"{APP}/BenchmarkRun.kt",
        "Library.ENGINES.of(manifest).describe(manifest)",
        "dev.shvit.ExecuTorch.describe(manifest)",
    ),
    Mistake(
        "LiteRT's version is not in the catalog",
        "shvit-litert/build.gradle.kts",
        "libs.versions.litert.get()",
        "libs.versions.tflite.get()",
    ),
    Mistake(
        "An asset's path ends with a slash",
        f"{LIBRARY}/AssetFiles.kt",
        'if (path.isEmpty()) folder else "$folder/$path"',
        '"$folder/$path"',
    ),
    Mistake("A frame is not closed", f"{CAMERAX}/FrameAnalyzer.kt", "image.use {", "image.let {"),
    Mistake(
        "A frame after a failure is not closed",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "image.use { if (failed) null else runCatching { analyze.invoke(it) } } ?: return",
        "if (failed) return else image.use { runCatching { analyze.invoke(it) } }",
    ),
    Mistake(
        "Frames after a failure are classified",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "failed = result.isFailure",
        "failed = false",
    ),
    Mistake(
        "The chroma planes of CameraX are exchanged",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "val planes = planes.map { Plane",
        "val planes = listOf(planes[0], planes[2], planes[1]).map { Plane",
    ),
    Mistake(
        "The padding of CameraX's rows is ignored",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "Plane(it.buffer, it.rowStride,",
        "Plane(it.buffer, width,",
    ),
    Mistake(
        "The frame's rotation is ignored",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "Orientation.fromDegrees(imageInfo.rotationDegrees)",
        "Orientation.UPRIGHT",
    ),
    Mistake(
        "The frame is turned the wrong way",
        f"{CAMERAX}/FrameAnalyzer.kt",
        "fromDegrees(imageInfo",
        "fromDegrees(-imageInfo",
    ),
    Mistake(
        "What the view does not show is classified",
        f"{CAMERAX}/FrameAnalyzer.kt",
        ", planes, cropRect.toPart())",
        ", planes)",
    ),
    Mistake(
        "The boxes of a front camera are not mirrored",
        f"{APP}/CameraFeed.kt",
        "camera == CameraSelector.DEFAULT_FRONT_CAMERA",
        "false",
    ),
    Mistake(
        "The boxes of every camera are mirrored",
        f"{APP}/LiveActivity.kt",
        "mirrored = feed?.mirrored == true",
        "mirrored = feed != null",
    ),
    Mistake(
        "Boxes are not drawn over the preview",
        f"{APP}/LiveActivity.kt",
        "        view<PictureOverlay>(R.id.overlay).show(seen, mirrored = feed?.mirrored == true)\n",
        "",
    ),
    Mistake(
        "Boxes are not drawn over the photo",
        f"{APP}/PhotoActivity.kt",
        "        view<PictureOverlay>(R.id.overlay).show(seen)\n",
        "",
    ),
    Mistake(
        "A box is drawn in a view of another shape",
        f"{APP}/PictureOverlay.kt",
        "placement.place(found.box, width, height)",
        "placement.place(found.box, width, width)",
    ),
    Mistake(
        "A label is drawn outside of its view",
        f"{APP}/PictureOverlay.kt",
        ".coerceAtMost(height.toFloat())",
        " + 2 * height",
    ),
    Mistake(
        "Boxes are in pixels of the picture as it lies in memory",
        f"{LIBRARY}/ShvitModel.kt",
        "orientation.uprightSize(source)",
        "source.height to source.width",
    ),
    Mistake(
        "The outputs of a program are named in another order",
        f"{LIBRARY}/ExecuTorch.kt",
        "= outputs.map { it.toTensor().dataAsFloatArray }",
        "= outputs.reversed().map { it.toTensor().dataAsFloatArray }",
    ),
    Mistake(
        "The outputs of LiteRT are named in another order",
        LITERT,
        "= outputs.map(TensorBuffer::readFloat)",
        "= outputs.reversed().map(TensorBuffer::readFloat)",
    ),
    Mistake(
        "A program with other outputs runs",
        f"{LIBRARY}/ShvitModel.kt",
        '        check(outputs.size == names.size) { "it returned ${outputs.size} outputs, not ${names.size}" }\n',
        "",
    ),
    Mistake(
        "Feature maps are analyzed for a screen",
        f"{APP}/Library.kt",
        "model.manifest.task == Task.FEATURES",
        "false",
    ),
    Mistake(
        "A detector is loaded as a classifier",
        f"{LIBRARY}/ShvitModel.kt",
        "task != null && model.manifest.task != task",
        "task != null && model.manifest.task == Task.FEATURES",
    ),
    Mistake("The view port is not shared", f"{APP}/CameraFeed.kt", ".setViewPort(port)", ""),
    Mistake(
        "Old frames wait for the analyzer",
        f"{APP}/CameraFeed.kt",
        "STRATEGY_KEEP_ONLY_LATEST",
        "STRATEGY_BLOCK_PRODUCER",
    ),
    Mistake(
        "The camera is never closed",
        f"{APP}/CameraFeed.kt",
        "        registry.currentState = Lifecycle.State.DESTROYED\n",
        "",
    ),
    Mistake(
        "A camera is opened after the screen was left",
        f"{APP}/CameraFeed.kt",
        " || registry.currentState == Lifecycle.State.DESTROYED",
        "",
    ),
    Mistake("A camera is opened for each layout", f"{APP}/CameraFeed.kt", "            bound = shown\n", ""),
    Mistake("A second camera is opened", f"{APP}/CameraFeed.kt", "        provider.unbindAll()\n", ""),
    Mistake("The frames' thread never ends", f"{APP}/CameraFeed.kt", "        worker.shutdown()\n", ""),
    Mistake(
        "The preview is not shown",
        f"{APP}/CameraFeed.kt",
        "            preview.setSurfaceProvider(view.surfaceProvider)\n",
        "",
    ),
    Mistake(
        "The view is watched after the screen was left",
        f"{APP}/CameraFeed.kt",
        "        view.removeOnLayoutChangeListener(resized)\n",
        "",
    ),
    Mistake(
        "CameraX's answer is taken on its thread",
        f"{APP}/CameraFeed.kt",
        "Executor { main.post(it) }",
        "Executor { Thread(it).start() }",
    ),
    Mistake(
        "A listener stays registered",
        f"{APP}/CameraFeed.kt",
        "        context.getSystemService(DisplayManager::class.java).unregisterDisplayListener(turned)\n",
        "",
    ),
    Mistake(
        "A phone without a back camera has none",
        f"{APP}/CameraFeed.kt",
        "listOf(CameraSelector.DEFAULT_BACK_CAMERA, CameraSelector.DEFAULT_FRONT_CAMERA)",
        "listOf(CameraSelector.DEFAULT_BACK_CAMERA)",
    ),
    Mistake(
        "The display's rotation is ignored",
        f"{APP}/CameraFeed.kt",
        "view.display?.rotation ?: Surface.ROTATION_0",
        "Surface.ROTATION_0",
    ),
    Mistake(
        "A lost camera is not told",
        f"{APP}/CameraFeed.kt",
        ".cameraInfo.cameraState.observe(this, watcher)",
        "",
    ),
    Mistake(
        "The live screen changes views on the frames' thread",
        f"{APP}/LiveActivity.kt",
        "runOnUiThread { if (naming === this) show() }",
        "run { if (naming === this) show() }",
    ),
    Mistake(
        "The camera runs in the background",
        f"{APP}/LiveActivity.kt",
        "        feed?.stop()\n",
        "",
    ),
    Mistake(
        "States of a long task reach the screen on its thread",
        f"{APP}/Work.kt",
        "        main.post {\n",
        "        run {\n",
    ),
    Mistake("A list is shown by the thread that read it", f"{APP}/Work.kt", "runOnUiThread {", "run {"),
    Mistake(
        "Long work runs on the main thread",
        f"{APP}/Work.kt",
        "thread(name = javaClass.simpleName) { tell(lastState()) }",
        "tell(lastState())",
    ),
    Mistake("A photo's file is not closed", f"{APP}/Library.kt", "?.use { it.readBytes() }", "?.readBytes()"),
    Mistake(
        "A checked model is not closed",
        f"{APP}/CheckActivity.kt",
        "threads = 1).use {",
        "threads = 1).let {",
    ),
    Mistake(
        "A benchmark goes on in the background",
        f"{APP}/BenchmarkActivity.kt",
        "        if (!isChangingConfigurations) run?.interrupt()\n",
        "",
    ),
    Mistake(
        "Other apps read any file",
        f"{APP}/Reports.kt",
        "it.isFile && it.canonicalFile.parentFile == folder",
        "it.isFile",
    ),
)
