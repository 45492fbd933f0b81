"""The check of the app's resources, without running aapt2: Gradle files, manifest and layouts."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from resources import (  # noqa: E402
    BadResources,
    LinkedResources,
    check_classes,
    check_permissions,
    list_components,
    list_permissions,
    list_uncompressed,
    list_view_classes,
    merge_manifest,
    read_setting,
)

APP = ROOT / "android_demo/app"
SCREENS = {f"dev.shvit.demo.{name}Activity" for name in ("Live", "Photo", "Models", "Benchmark", "Check")}


def test_settings_come_from_the_gradle_file() -> None:
    script = (APP / "build.gradle.kts").read_text(encoding="utf-8")
    assert read_setting(script, "namespace") == "dev.shvit.demo"
    assert (read_setting(script, "minSdk"), read_setting(script, "targetSdk")) == ("26", "36")
    with pytest.raises(BadResources, match="maxSdk"):
        read_setting(script, "maxSdk")


def test_models_stay_uncompressed_as_the_gradle_file_says() -> None:
    script = (APP / "build.gradle.kts").read_text(encoding="utf-8")
    assert list_uncompressed(script) == ["-0", ".pte", "-0", ".tflite"]
    assert list_uncompressed('    noCompress += "pte"\n') == ["-0", ".pte"]
    assert list_uncompressed("android {}") == []


def test_the_manifest_has_full_package_and_class_names(tmp_path: Path) -> None:
    manifest = merge_manifest(APP / "src/main/AndroidManifest.xml", "dev.shvit.demo", tmp_path / "AndroidManifest.xml")
    assert ET.parse(manifest).getroot().get("package") == "dev.shvit.demo"
    assert 'android:authorities="dev.shvit.demo.reports"' in manifest.read_text(encoding="utf-8")
    assert set(list_components(manifest, "dev.shvit.demo")) == {*SCREENS, "dev.shvit.demo.ReportProvider"}


def test_views_of_the_app_are_found_in_its_layouts() -> None:
    found = set(list_view_classes(APP / "src/main/res"))
    assert found == {
        "androidx.camera.view.PreviewView",
        "dev.shvit.demo.HistogramView",
        "dev.shvit.demo.PictureOverlay",
    }


def test_a_missing_class_is_rejected(tmp_path: Path) -> None:
    resources = LinkedResources(tmp_path, tmp_path, ("dev.shvit.demo.LiveActivity", "dev.shvit.demo.Chek"), ())
    written = tmp_path / "dev/shvit/demo/LiveActivity.class"
    written.parent.mkdir(parents=True)
    written.touch()
    with pytest.raises(BadResources) as refused:
        check_classes(resources, [tmp_path])
    assert "no class dev.shvit.demo.Chek." in str(refused.value)
    (tmp_path / "dev/shvit/demo/Chek.class").touch()
    check_classes(resources, [tmp_path])


def test_a_permission_missing_in_the_manifest_is_rejected(tmp_path: Path) -> None:
    asked = tuple(list_permissions(APP / "src/main/AndroidManifest.xml"))
    assert asked == ("android.permission.CAMERA",)
    (tmp_path / "Live.class").write_bytes(b"\x00\x01\x00\x19android.permission.CAMERA\x01")
    check_permissions(LinkedResources(tmp_path, tmp_path, (), asked), tmp_path)
    (tmp_path / "Voice.class").write_bytes(b"\x01\x00\x1fandroid.permission.RECORD_AUDIO\x01")
    with pytest.raises(BadResources, match=r"lacks android\.permission\.RECORD_AUDIO"):
        check_permissions(LinkedResources(tmp_path, tmp_path, (), asked), tmp_path)
